"""What the runs of suites say together: statistics over tasks and seeds, and a report with every figure's interval."""
