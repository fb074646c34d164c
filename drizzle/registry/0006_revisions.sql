CREATE TABLE `revised_namespace` (
	`namespace` text PRIMARY KEY NOT NULL
);
--> statement-breakpoint
CREATE TABLE `revision` (
	`namespace` text NOT NULL,
	`name` text NOT NULL,
	`version` text NOT NULL,
	`integrity` text NOT NULL,
	`manifest_hash` text NOT NULL,
	`projection` text NOT NULL,
	`leaf_idx` integer NOT NULL,
	`first_seen` text NOT NULL,
	`since_first_sight` integer NOT NULL,
	`tarball` text NOT NULL,
	`file` text NOT NULL,
	`shasum` text,
	`published` text,
	PRIMARY KEY(`namespace`, `name`, `version`, `integrity`)
);
--> statement-breakpoint
CREATE INDEX `revision_file` ON `revision` (`namespace`,`name`,`file`);--> statement-breakpoint
ALTER TABLE `upstream` ADD `revisions` integer DEFAULT false NOT NULL;