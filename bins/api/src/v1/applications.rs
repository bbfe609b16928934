//! Applications over HTTP.

use std::sync::Arc;

use chat_core::{
    model::{Application, ApplicationName, ApplicationToken, Cursor, Limit, Page},
    service::{Applications, Services},
};
use chat_runtime::settings::Admin;
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use serde::Serialize;

use super::APPLICATIONS;
use crate::{
    admin::Credentials,
    answer::{Json, Moment, link},
    body::{Form, Payload},
    error::Problem,
    fields::Fields,
    group::Group,
    path::Path,
    query::{Query, SystemWindow},
    refusal::{AdminListing, Creating, Reading, Refusal},
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
    /// Its name: 1 to 255 characters, not blank.
    #[oai(validator(min_length = 1, max_length = 255))]
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

/// A page of applications.
#[derive(Debug, Serialize, Object)]
pub(crate) struct ApplicationPage {
    /// The applications, oldest first.
    items: Vec<ApplicationView>,
    /// The address of the next page; null on the last.
    #[oai(nullable)]
    next: Option<String>,
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
    /// The application.
    #[oai(status = 200)]
    Read(Json<ApplicationView>),
}

#[derive(ApiResponse)]
enum ApplicationsListed {
    /// A page of applications.
    #[oai(status = 200)]
    Listed(
        Json<ApplicationPage>,
        /// The address of the next page, as `rel="next"`.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

impl ApplicationsListed {
    fn new(page: Page<Application, Cursor>, limit: Limit) -> Self {
        let next = page
            .next
            .map(|next| SystemWindow::address(limit, APPLICATIONS, &next));
        let items = page.items.into_iter().map(ApplicationView::from).collect();
        let link = link(next.as_ref());
        Self::Listed(Json(ApplicationPage { items, next }), link)
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Applications")]
impl ApplicationsApi {
    /// Creates an application
    ///
    /// The system makes its token, which is told here, and to operators.
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
        /// Where the page begins; only what `next` carries is taken.
        cursor: Query<Cursor>,
        /// How many items at most.
        limit: Query<Limit>,
    ) -> Result<ApplicationsListed, Refusal<AdminListing>> {
        credentials.admit(&self.admin)?;
        let SystemWindow { cursor, limit } = SystemWindow::judge(cursor, limit)?;
        let page = self.applications.list(cursor, limit).await;
        let page = page.map_err(|error| Problem::from(error).blamed_on("cursor"))?;
        Ok(ApplicationsListed::new(page, limit))
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
}
