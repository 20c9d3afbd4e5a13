"""New versions for devices in the field: keys, signed bundles, and the way to a device."""
