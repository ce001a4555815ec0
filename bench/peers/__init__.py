"""The same checkout as users of other tools build it, to be measured side by side with this one."""
