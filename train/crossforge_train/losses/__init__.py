"""The named losses; `GroupLoss` puts one of them over the groups of a batch."""

from crossforge_train.losses.group_loss import OBJECTIVES, GroupLoss

__all__ = ["OBJECTIVES", "GroupLoss"]
