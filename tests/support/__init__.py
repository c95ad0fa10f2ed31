"""What tests share: the world they run in, programs they start, pages they open."""
