"""How is one order carried out? Pure."""
