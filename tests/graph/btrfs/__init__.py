"""Tests of the btrfs driver's own: subvolumes, quota groups, and what people do with both."""
