"""Objectives, one file each: what a stage of training minimises."""
