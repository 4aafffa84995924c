"""What a model has learned, for people to look at: pictures, and a page of sounds and scores."""
