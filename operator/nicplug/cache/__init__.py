"""What the watches have told, as records, ready to be looked up. Decides nothing and sends nothing."""
