-- drizzle-kit makes no triggers; this file was prepared with its --custom and written by hand.
CREATE TRIGGER `audit_no_update` BEFORE UPDATE ON `audit`
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `audit_no_delete` BEFORE DELETE ON `audit`
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `audit_no_replace` BEFORE INSERT ON `audit`
WHEN EXISTS (SELECT 1 FROM `audit` WHERE `id` = NEW.`id`)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
