//! The migrations that this program carries.

use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// The name of each file without its extension, and its content.
///
/// They are listed by hand: the driver's macro, which would find them, needs a second build of the
/// driver.
const FILES: [(&str, &str); 1] = [(
    "20261121000000_create_schema",
    include_str!("../../../migrations/sqlite/20261121000000_create_schema.sql"),
)];

/// Returns the migrator that brings a database to this version's schema.
pub(crate) fn migrator() -> Migrator {
    let migrations = FILES.iter().map(|(name, sql)| {
        let (version, words) = name
            .split_once('_')
            .expect("a migration is named by its version and a description");
        Migration::new(
            version.parse().expect("a migration's version is a number"),
            words.replace('_', " ").into(),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_file_is_carried() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
        let entries = fs::read_dir(folder).unwrap();
        let mut files: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let carried = FILES.map(|(name, _)| format!("{name}.sql"));
        assert_eq!(files, carried);
        assert_eq!(migrator().iter().count(), carried.len());
    }

    /// Databases remember a migration's checksum, and are refused if it has changed since.
    #[test]
    fn a_migration_is_known_by_the_sum_of_its_text() {
        let first = migrator().iter().next().unwrap().clone();
        assert_eq!(first.version, 20_261_121_000_000);
        assert_eq!(&*first.description, "create schema");
        let bytes = first.checksum.iter();
        let sum = bytes.fold(String::new(), |sum, byte| format!("{sum}{byte:02x}"));
        assert_eq!(
            sum,
            "9cdfe11fbd98df09014eca6923e26d4e8c5bc64d61b5e78eb6e6bc033070cc97fdf11ea3d4f235b3de55d33ac3ed877d"
        );
    }
}
