//! What the person who runs the daemon can do about a refusal.

use super::code::Code;

/// What to do about a code of the REST API.
pub(super) fn of_code(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::ApiCurrentlyDisabled | Code::ApiDisabledForOrg | Code::FunctionalityNotEnabled => {
            "give the integration user the permission \"API Enabled\"; the org's edition must have API access"
        }
        Code::ClientNotAccessibleForUser | Code::InvalidSessionId => {
            "allow the integration user to use the external client app, with the scope \"api\""
        }
        Code::LoginDuringRestrictedDomain | Code::LoginDuringRestrictedTime => {
            "loosen the login hours and IP ranges of the integration user's profile"
        }
        Code::OrgLocked | Code::TrialExpired => "ask Salesforce to open the org again",
        Code::Gone | Code::UnsupportedApiVersion => {
            "set SALESFORCE_API_VERSION to a version that the org offers"
        }
        Code::NotFound | Code::InvalidType | Code::InvalidField => {
            "give the integration user read and edit access to the object and its fields, and compare \
             SALESFORCE_OBJECT, SALESFORCE_EXTERNAL_ID_FIELD, SALESFORCE_REVISION_FIELD and the view's field names with the org"
        }
        Code::InvalidFieldForInsertUpdate
        | Code::InsufficientAccess
        | Code::InsufficientAccessOrReadonly
        | Code::DeleteRequiredOnCascade
        | Code::TransferRequiresRead => {
            "give the integration user the right to create, read, edit and delete usage records, and edit access to their fields"
        }
        Code::InsufficientAccessOnCrossReferenceEntity => {
            "share the parent record with the integration user, with the right to edit it"
        }
        Code::Forbidden | Code::TxnSecurityNoAccess => {
            "look for a transaction security policy that blocks the integration user"
        }
        Code::InactiveOwnerOrUser => "activate the user or give its records to another one",
        Code::ExceededQuota | Code::StorageLimitExceeded => {
            "free data storage in the org or buy more; reports go on by themselves"
        }
        Code::RequiredFieldMissing | Code::InvalidOrNullForRestrictedPicklist => {
            "let the view fill the field that Salesforce names, or loosen the field in Salesforce"
        }
        Code::DuplicateExternalId => "make the external id field unique",
        _ => return None,
    })
}

/// What to do about a login host that has no address or takes no connection.
pub(super) const UNREACHABLE: &str = "compare SALESFORCE_LOGIN_URL with the org's address, and see that this machine \
     finds that host and may connect to it; it goes on by itself";

/// What to do about a refused login. Causes are those of Salesforce Help, "OAuth
/// Authorization Flow Errors"; `invalid_grant` alone has a dozen, told apart by
/// the description only.
pub(super) fn of_login(code: &str, description: &str) -> &'static str {
    let description = description.to_ascii_lowercase();
    let says = |words: &str| description.contains(words);
    match code {
        "invalid_client_id" => {
            "compare SALESFORCE_CLIENT_ID with the consumer key; a new app takes ten minutes to be known"
        }
        "invalid_client" => "compare SALESFORCE_CLIENT_SECRET with the consumer secret",
        "inactive_user" => "activate the integration user",
        "unsupported_grant_type" => "enable the flow in the external client app",
        _ if says("approved") || code == "invalid_app_access" => {
            "let the app's policy say \"Admin approved users are pre-authorized\" and assign its permission set to the integration user"
        }
        _ if says("audience") => {
            "set SALESFORCE_AUDIENCE to https://login.salesforce.com, or to https://test.salesforce.com for a sandbox"
        }
        _ if says("expired authorization code") => "set the clock of this machine",
        _ if says("invalid assertion") => {
            "upload the certificate of SALESFORCE_PRIVATE_KEY to the app"
        }
        _ if says("refresh_token scope") => "add the scope \"refresh_token\" to the app",
        _ if says("refresh token") => "authorise the app again and set SALESFORCE_REFRESH_TOKEN",
        _ if says("client credentials user") => {
            "choose a Run As user in the app's client credentials flow"
        }
        _ if says("this domain") => "set SALESFORCE_LOGIN_URL to the org's My Domain address",
        _ => "look at the login history of the integration user in Salesforce's setup",
    }
}
