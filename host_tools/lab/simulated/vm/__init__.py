"""What makes a board of a MicroPython for Unix: see host_tools/lab/virtual_board.py."""
