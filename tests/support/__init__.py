"""What tests share: the world they run in, programs they start and pages they open."""
