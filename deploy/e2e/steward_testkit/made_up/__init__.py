"""One more of each kind of thing: made up, so that the places that it takes can be counted."""
