//! Applications over HTTP.

use std::sync::Arc;

use chat_core::{
    model::{Application, ApplicationName, ApplicationToken, Cursor, Limit},
    service::{Applications, Services},
};
use chat_runtime::settings::Admin;
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use serde::Serialize;

use super::APPLICATIONS;
use crate::{
    admin::Credentials,
    answer::{Deleted, Json, Listed, Moment, PageView},
    body::{Form, Payload},
    error::Problem,
    fields::Fields,
    group::Group,
    path::Path,
    query::Query,
    refusal::{AdminListing, Changing, Creating, Reading, Refusal},
    window::CursorWindow,
};

/// Serves applications.
pub struct ApplicationsApi {
    applications: Arc<Applications>,
    admin: Admin,
}

impl ApplicationsApi {
    pub(super) fn new(services: &Services, admin: Admin) -> Self {
        Self {
            applications: Arc::clone(&services.applications),
            admin,
        }
    }
}

/// An application that is to be created.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct NewApplication {
    /// Its name: 1 to 255 characters, none U+0000, not blank.
    #[oai(validator(min_length = 1, max_length = 255, pattern = r"\S"))]
    name: String,
}

impl Example for NewApplication {
    fn example() -> Self {
        Self {
            name: "Support".to_owned(),
        }
    }
}

impl Form for NewApplication {
    const FIELDS: &'static [&'static str] = &["name"];
    // A stranger who guessed the key would get the token.
    const TAKES_KEY: bool = false;

    type Content = ApplicationName;

    fn content(fields: &mut Fields) -> Option<ApplicationName> {
        fields.required("name", ApplicationName::parse)
    }
}

/// An application's new name.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct ApplicationChange {
    /// Its name: 1 to 255 characters, none U+0000, not blank.
    #[oai(validator(min_length = 1, max_length = 255, pattern = r"\S"))]
    name: String,
}

impl Example for ApplicationChange {
    fn example() -> Self {
        Self {
            name: "Support, second line".to_owned(),
        }
    }
}

impl Form for ApplicationChange {
    const FIELDS: &'static [&'static str] = &["name"];
    const TAKES_KEY: bool = false;

    type Content = ApplicationName;

    fn content(fields: &mut Fields) -> Option<ApplicationName> {
        fields.required("name", ApplicationName::parse)
    }
}

/// An application.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Application", example)]
pub(crate) struct ApplicationView {
    /// How devices address it: 32 letters and digits. Whoever knows it can read and write its chats.
    token: String,
    /// Its name.
    name: String,
    /// How many chats it has.
    chats_count: u64,
    /// When it was created.
    created_at: Moment,
    /// When it was last renamed, or created.
    updated_at: Moment,
}

impl Example for ApplicationView {
    fn example() -> Self {
        let created_at = super::example_moment();
        Self {
            token: super::EXAMPLE_TOKEN.to_owned(),
            name: "Support".to_owned(),
            chats_count: 2,
            created_at,
            updated_at: created_at,
        }
    }
}

impl From<Application> for ApplicationView {
    fn from(application: Application) -> Self {
        Self {
            token: application.token.as_str().to_owned(),
            name: application.name.into(),
            chats_count: application.chats_count,
            created_at: application.created_at.into(),
            updated_at: application.updated_at.into(),
        }
    }
}

#[derive(ApiResponse)]
enum ApplicationCreated {
    /// The application.
    #[oai(status = 201)]
    Created(
        Json<ApplicationView>,
        /// The path of the application.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(ApiResponse)]
enum ApplicationRead {
    /// The application as it is now.
    #[oai(status = 200)]
    Read(Json<ApplicationView>),
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Applications")]
impl ApplicationsApi {
    /// Creates an application
    ///
    /// The answer has its token, which the system makes; later only operators can look it up.
    #[oai(
        path = "/applications",
        method = "post",
        operation_id = "createApplication"
    )]
    #[tracing::instrument(name = "api.v1.applications.create", level = "debug", skip_all)]
    async fn create(
        &self,
        application: Payload<NewApplication>,
    ) -> Result<ApplicationCreated, Refusal<Creating>> {
        let view = ApplicationView::from(self.applications.create(application.0).await?);
        let location = format!("{APPLICATIONS}/{}", view.token);
        Ok(ApplicationCreated::Created(Json(view), location))
    }

    /// Lists all applications (for operators)
    #[oai(
        path = "/applications",
        method = "get",
        operation_id = "listApplications"
    )]
    #[tracing::instrument(name = "api.v1.applications.list", level = "debug", skip_all)]
    async fn list(
        &self,
        credentials: Credentials,
        /// Where the page begins: the value that `next` carries.
        cursor: Query<Cursor>,
        /// How many items at most.
        limit: Query<Limit>,
    ) -> Result<Listed<ApplicationView>, Refusal<AdminListing>> {
        credentials.admit(&self.admin)?;
        let CursorWindow { cursor, limit } = CursorWindow::judge(cursor, limit)?;
        let page = self.applications.list(cursor, limit).await;
        let page = page.map_err(|error| Problem::from(error).of_cursor())?;
        let address = |next| CursorWindow::address(limit, APPLICATIONS, &next);
        Ok(PageView::new(page, address).into())
    }

    /// Reads an application
    #[oai(
        path = "/applications/:token",
        method = "get",
        operation_id = "getApplication"
    )]
    #[tracing::instrument(name = "api.v1.applications.get", level = "debug", skip_all)]
    async fn get(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
    ) -> Result<ApplicationRead, Refusal<Reading>> {
        let application = self.applications.get(&token.found()?).await?;
        Ok(ApplicationRead::Read(Json(application.into())))
    }

    /// Renames an application
    #[oai(
        path = "/applications/:token",
        method = "patch",
        operation_id = "renameApplication"
    )]
    #[tracing::instrument(name = "api.v1.applications.rename", level = "debug", skip_all)]
    async fn rename(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        change: Payload<ApplicationChange>,
    ) -> Result<ApplicationRead, Refusal<Changing>> {
        let application = self.applications.rename(&token.found()?, &change.0).await?;
        Ok(ApplicationRead::Read(Json(application.into())))
    }

    /// Renames an application (the same as by PATCH)
    #[oai(
        path = "/applications/:token",
        method = "put",
        operation_id = "putApplication"
    )]
    async fn put(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        change: Payload<ApplicationChange>,
    ) -> Result<ApplicationRead, Refusal<Changing>> {
        self.rename(token, change).await
    }

    /// Deletes an application with its chats and their messages
    #[oai(
        path = "/applications/:token",
        method = "delete",
        operation_id = "deleteApplication"
    )]
    #[tracing::instrument(name = "api.v1.applications.delete", level = "debug", skip_all)]
    async fn delete(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
    ) -> Result<Deleted, Refusal<Reading>> {
        self.applications.delete(&token.found()?).await?;
        Ok(Deleted::Deleted)
    }
}
