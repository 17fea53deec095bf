"""Who somebody is and what they may reach. Never how a document changes."""
