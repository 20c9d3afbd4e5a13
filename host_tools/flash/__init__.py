"""What a board gets: compiled modules, images and files."""
