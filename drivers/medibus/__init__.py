"""Draeger ventilators and anaesthesia machines over MEDIBUS: see README.md."""
