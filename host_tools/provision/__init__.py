"""What a device is given before its first start: its settings, from a file that people write."""
