"""Running commands: what they see, may do and leave."""
