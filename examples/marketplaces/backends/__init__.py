"""Two small back ends of different make; each forgets its changes when it ends."""
