CREATE TABLE `audit` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`time` text NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`target` text NOT NULL,
	`before` text,
	`after` text
);
--> statement-breakpoint
CREATE TABLE `upstream_secret` (
	`upstream` text PRIMARY KEY NOT NULL,
	`origin` text NOT NULL,
	`nonce` blob NOT NULL,
	`sealed` blob NOT NULL
);
--> statement-breakpoint
ALTER TABLE `upstream` ADD `edition` text DEFAULT '' NOT NULL;