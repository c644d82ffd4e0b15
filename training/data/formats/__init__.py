"""Readers of dataset formats: COCO, YOLO, Pascal VOC."""
