"""What a path means, and what is opened or listed by one."""
