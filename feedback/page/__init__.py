"""Ask people in a browser: one question at a time, by mouse, finger or keys, with and without script."""
