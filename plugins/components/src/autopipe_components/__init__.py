"""The networks, schedulers and stages that several families share."""
