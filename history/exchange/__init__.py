"""What comes into a history from elsewhere, and what goes elsewhere whole."""
