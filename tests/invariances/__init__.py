"""What the metamorphic suite is made of: relations, and the subjects of each room."""
