CREATE TABLE `incident` (
	`id` text PRIMARY KEY NOT NULL,
	`code` text NOT NULL,
	`namespace` text NOT NULL,
	`name` text NOT NULL,
	`version` text NOT NULL,
	`sentence` text NOT NULL,
	`evidence` text NOT NULL,
	`created` text NOT NULL,
	`last_seen` text NOT NULL,
	`count` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `incident_package` ON `incident` (`namespace`,`name`,`version`);--> statement-breakpoint
CREATE INDEX `incident_last_seen` ON `incident` (`last_seen`);--> statement-breakpoint
CREATE TABLE `leaf` (
	`idx` integer PRIMARY KEY NOT NULL,
	`key` blob NOT NULL,
	`text` blob NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `leaf_key` ON `leaf` (`key`);--> statement-breakpoint
CREATE TABLE `log_state` (
	`id` integer PRIMARY KEY NOT NULL,
	`size` integer NOT NULL,
	`root` blob NOT NULL,
	`edge` blob NOT NULL,
	`note` text NOT NULL,
	`published_size` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `package` (
	`namespace` text NOT NULL,
	`name` text NOT NULL,
	`first_seen` text NOT NULL,
	PRIMARY KEY(`namespace`, `name`)
);
--> statement-breakpoint
CREATE TABLE `upstream` (
	`name` text PRIMARY KEY NOT NULL,
	`url` text NOT NULL,
	`kind` text NOT NULL,
	`mirror_of` text,
	`namespace` text NOT NULL,
	`names` text NOT NULL,
	`signatures` text NOT NULL,
	`tarballs` text NOT NULL,
	`signs_since` text,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `upstream_key` (
	`upstream` text NOT NULL,
	`keyid` text NOT NULL,
	`keytype` text NOT NULL,
	`scheme` text NOT NULL,
	`spki` text NOT NULL,
	`expires` text,
	`json` text NOT NULL,
	`state` text NOT NULL,
	`first_seen` text NOT NULL,
	`leaf_idx` integer,
	PRIMARY KEY(`upstream`, `keyid`)
);
--> statement-breakpoint
CREATE TABLE `version` (
	`namespace` text NOT NULL,
	`name` text NOT NULL,
	`version` text NOT NULL,
	`integrity` text,
	`manifest_hash` text NOT NULL,
	`projection` text NOT NULL,
	`keyid` text,
	`sig` text,
	`leaf_idx` integer,
	`first_seen` text NOT NULL,
	`since_first_sight` integer NOT NULL,
	`state` text NOT NULL,
	`detail` text NOT NULL,
	`incident` text,
	`tarball` text NOT NULL,
	`file` text NOT NULL,
	`shasum` text,
	`published` text,
	PRIMARY KEY(`namespace`, `name`, `version`)
);
--> statement-breakpoint
CREATE INDEX `version_file` ON `version` (`namespace`,`name`,`file`);