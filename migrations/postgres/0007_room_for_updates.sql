-- A gateway's row changes with every heartbeat, a task's with every report. With room on its page the new row stands
-- beside the old one, and no index is written.
ALTER TABLE gateways SET (fillfactor = 50);
ALTER TABLE upgrade_tasks SET (fillfactor = 50);
