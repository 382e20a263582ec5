-- What came from the app's database is known by the app's own key beside Filmgate's id. Both engines.
ALTER TABLE camera_settings ADD COLUMN host_key TEXT;
ALTER TABLE assessment_sessions ADD COLUMN host_key TEXT;
-- The app may have as many defaults as it likes: its sessions name their settings themselves.
DROP INDEX camera_settings_one_default;
CREATE UNIQUE INDEX camera_settings_one_default ON camera_settings (is_default) WHERE is_default = 1 AND host_key IS NULL;
