"""The display of a GPU: its monitor and its pipes, as software finds them in registers."""
