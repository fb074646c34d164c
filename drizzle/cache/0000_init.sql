CREATE TABLE `document` (
	`upstream` text NOT NULL,
	`name` text NOT NULL,
	`status` integer NOT NULL,
	`packed` blob,
	`sha256` text NOT NULL,
	`length` integer NOT NULL,
	`etag` text,
	`last_modified` text,
	`checked_at_ms` integer NOT NULL,
	`fresh_until_ms` integer NOT NULL,
	`modified` text,
	PRIMARY KEY(`upstream`, `name`)
);
--> statement-breakpoint
CREATE INDEX `document_checked_at` ON `document` (`checked_at_ms`);--> statement-breakpoint
CREATE TABLE `rendered` (
	`upstream` text NOT NULL,
	`name` text NOT NULL,
	`variant` text NOT NULL,
	`document_sha` text NOT NULL,
	`plan_hash` text NOT NULL,
	`etag` text NOT NULL,
	`gzip` blob NOT NULL,
	`length` integer NOT NULL,
	`modified` text,
	PRIMARY KEY(`upstream`, `name`, `variant`)
);
