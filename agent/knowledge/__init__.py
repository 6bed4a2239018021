"""What a run knows before its model is asked, and what is learnt from it after."""
