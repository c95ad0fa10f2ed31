"""HTTP calls to other systems: sent, judged, recorded, and limited."""
