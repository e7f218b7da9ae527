"""How the back office writes dates and times; every other page writes them for its reader, through the tags of Tandem."""
