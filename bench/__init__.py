"""Measurements, printed as tables beside what is aimed at.  Nothing here passes or fails."""
