"""What Admit holds about one person, to be exported or erased."""
