"""What a guest asks its engines to do."""
