"""What the commands of the streamers do. Each module holds the commands of one kind; :mod:`.table` finds them."""
