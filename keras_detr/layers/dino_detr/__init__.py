"""What DINO adds to the layers of Deformable DETR."""
