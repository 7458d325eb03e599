"""Engines that compute profiles, one file each."""
