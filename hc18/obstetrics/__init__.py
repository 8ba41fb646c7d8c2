"""Gestational age and growth from head circumference."""
