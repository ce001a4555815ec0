"""The whole system on real servers while its parts are killed, stopped and cut off."""
