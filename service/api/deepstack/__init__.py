"""DeepStack and CodeProject.AI, for Frigate, Home Assistant, Blue Iris and Agent DVR."""
