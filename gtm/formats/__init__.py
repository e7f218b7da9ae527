"""How the back office writes dates and times; all other pages write them for their reader, through the tags."""
