-- Failed tasks by their cause.
CREATE INDEX upgrade_tasks_error ON upgrade_tasks (error_code, task_id)
    WHERE error_code IS NOT NULL;
