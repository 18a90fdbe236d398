"""What people see of accounts, and what may be asked about one."""
