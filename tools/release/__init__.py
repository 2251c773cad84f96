"""What a release consists of, each part made the same from the same commit."""
