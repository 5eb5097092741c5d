//! What every answer means: a table of answers as Salesforce, its edge and
//! proxies send them, each served over HTTP and read by the real client.

use std::sync::{Arc, Mutex};

use usage_sync::salesforce::Certainty::{self, Answered, NotSent, Unknown};
use usage_sync::salesforce::Class::{
    self, Configuration, Contention, Expired, Rejected, Superseded, Suspect,
};
use usage_sync::salesforce::{Client, Error, Pause, RecordError, Saved};

use super::server::{self, Reply, Server, TOKEN};
use super::{client, raw, record, settings};

const SHORT: Class = Class::Outage {
    pause: Pause::Short,
};
const LONG: Class = Class::Outage { pause: Pause::Long };

const HTML: &str =
    "<html><head><title>Service Unavailable</title></head><body>Down for maintenance</body></html>";

/// How the body travels.
#[derive(Debug, Clone, Copy)]
enum Way {
    Json,
    Gzip,
    Html,
    /// Fewer bytes than the length says.
    Cut,
    /// A chunked body without its end.
    CutChunk,
    /// Compressed and broken off in the middle.
    CutGzip,
}
use Way::{Cut, CutChunk, CutGzip, Gzip, Html, Json};

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// A create of one record.
    Write,
    /// A query.
    Read,
}
use Call::{Read, Write};

/// Answers that refuse the request as a whole, or that are none.
#[rustfmt::skip]
const REQUESTS: &[(Call, u16, Way, &str, Class, Certainty)] = &[
    // Token. Recorded: openstax/accounts, a query with a dead token.
    (Write, 401, Json, r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#, Expired, Answered),
    (Read, 401, Json, r#"[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]"#, Expired, Answered),
    (Write, 401, Json, r#"[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]"#, Configuration, Answered),
    (Write, 401, Json, r#"[{"message":"INVALID_HEADER_TYPE","errorCode":"INVALID_AUTH_HEADER"}]"#, Configuration, Answered),
    (Write, 401, Html, "<response><faultcode>LOGIN_OAUTH_INVALID_TOKEN</faultcode></response>", SHORT, Unknown),
    // Limits: one code, two situations.
    (Write, 403, Json, r#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#, LONG, Answered),
    (Read, 403, Json, r#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#, LONG, Answered),
    (Write, 403, Json, r#"[{"message":"ConcurrentPerOrgLongTxn Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#, SHORT, Answered),
    (Write, 403, Json, r#"[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#, SHORT, Answered),
    (Write, 429, Html, "slow down", SHORT, Unknown),
    // Down.
    (Write, 503, Json, r#"[{"message":"Server unavailable","errorCode":"SERVER_UNAVAILABLE"}]"#, SHORT, Unknown),
    (Write, 503, Html, HTML, SHORT, Unknown),
    (Write, 503, Html, "", SHORT, Unknown),
    (Read, 503, Html, HTML, SHORT, Unknown),
    (Write, 502, Html, "<html>Bad Gateway</html>", SHORT, Unknown),
    (Write, 504, Html, "", SHORT, Unknown),
    (Write, 420, Html, "no route to this org", SHORT, Unknown),
    (Write, 500, Html, HTML, SHORT, Unknown),
    (Write, 500, Json, r#"{"error":"upstream"}"#, SHORT, Unknown),
    (Write, 400, Json, r#"[{"message":"instance is being upgraded","errorCode":"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"}]"#, SHORT, Answered),
    (Write, 400, Json, r#"[{"message":"transient, resend after a short wait","errorCode":"TOO_MANY_APEX_REQUESTS"}]"#, SHORT, Answered),
    // Not Salesforce's application.
    (Write, 200, Html, HTML, SHORT, Unknown),
    (Write, 200, Html, "", SHORT, Unknown),
    (Write, 200, Json, r#"{"success":true}"#, SHORT, Unknown),
    (Write, 200, Json, r#"[{"success":true,"errors":[]}]"#, SHORT, Unknown),
    (Write, 200, Json, r#"[{"id":"a01xx0000004GxDAAU","success":true,"er"#, SHORT, Unknown),
    (Write, 200, Cut, r#"[{"id":"a01xx0000004GxDAAU","success":true"#, SHORT, Unknown),
    (Write, 200, CutChunk, r#"[{"id":"a01xx0000004GxDAAU","success":true"#, SHORT, Unknown),
    (Write, 200, CutGzip, r#"[{"id":"a01xx0000004GxDAAU","success":true,"errors":[]}]"#, SHORT, Unknown),
    (Read, 200, Html, "OK", SHORT, Unknown),
    (Write, 400, Cut, r#"[{"message":"Required fields are mis"#, SHORT, Unknown),
    (Write, 302, Html, "", SHORT, Unknown),
    (Write, 404, Html, "<html>Not Found</html>", SHORT, Unknown),
    // The number of results is not that of the records.
    (Write, 200, Json, "[]", Suspect, Unknown),
    (Write, 200, Json, r#"[{"id":"a01xx0000004GxDAAU","success":true,"errors":[]},{"id":"a01xx0000004GxEAAU","success":true,"errors":[]}]"#, Suspect, Unknown),
    // One record may be the cause.
    (Write, 500, Json, r#"[{"message":"An unexpected error occurred. Please include this ErrorId if you contact support: 1234-5 (6)","errorCode":"UNKNOWN_EXCEPTION"}]"#, Suspect, Unknown),
    (Write, 400, Json, r#"[{"message":"Cannot deserialize instance of date from VALUE_STRING value 2017-05-30T-06:00:00X or request may be missing a required field at [line:11, column:55]","errorCode":"JSON_PARSER_ERROR"}]"#, Suspect, Answered),
    (Write, 400, Json, r#"[{"message":"No such column 'Foo__c' on sobject of type Usage__c","errorCode":"INVALID_FIELD"}]"#, Suspect, Answered),
    (Write, 400, Json, r#"[{"errorCode":"EXCEEDED_ID_LIMIT","message":"record limit reached. cannot submit more than 200 records into this call"}]"#, Suspect, Answered),
    (Write, 400, Json, r#"[{"message":"Your request was running for too long, and has been stopped.","errorCode":"REQUEST_RUNNING_TOO_LONG"}]"#, Suspect, Answered),
    (Write, 500, Json, r#"[{"message":"timed out","errorCode":"QUERY_TIMEOUT"}]"#, Suspect, Unknown),
    (Write, 400, Json, r#"[{"message":"something new","errorCode":"A_CODE_OF_NEXT_YEAR"}]"#, Suspect, Answered),
    (Write, 400, Json, r#"[{"message":"Required fields are missing: [Contract__c]","errorCode":"REQUIRED_FIELD_MISSING","fields":["Contract__c"]}]"#, Suspect, Answered),
    // The same body, in the shapes in which it comes.
    (Write, 400, Gzip, r#"[{"message":"x","errorCode":"JSON_PARSER_ERROR"}]"#, Suspect, Answered),
    (Write, 400, Json, r#"{"message":"x","errorCode":"JSON_PARSER_ERROR"}"#, Suspect, Answered),
    (Write, 400, Json, r#"[{"fields":null,"errorCode":"JSON_PARSER_ERROR","message":"x","extendedErrorDetails":[{"a":1}]}]"#, Suspect, Answered),
    (Write, 400, Json, "[ {\n  \"message\" : \"x\",\n  \"errorCode\" : \"JSON_PARSER_ERROR\",\n  \"fields\" : [ ]\n} ]", Suspect, Answered),
    (Write, 400, Json, r#"[{"errorCode":"JSON_PARSER_ERROR"}]"#, Suspect, Answered),
    // Someone else was at it.
    (Write, 400, Json, r#"[{"message":"unable to obtain exclusive access to this record","errorCode":"UNABLE_TO_LOCK_ROW","fields":[]}]"#, Contention, Answered),
    // For a person to mend.
    (Write, 404, Json, r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#, Configuration, Answered),
    (Write, 404, Json, r#"[{"message":"Provided external ID field does not exist or is not accessible: External_Id__c","errorCode":"NOT_FOUND"}]"#, Configuration, Answered),
    (Write, 403, Json, r#"[{"message":"The REST API is not enabled for this Organization","errorCode":"API_DISABLED_FOR_ORG"}]"#, Configuration, Answered),
    (Write, 403, Json, r#"[{"message":"API is currently disabled for this user","errorCode":"API_CURRENTLY_DISABLED"}]"#, Configuration, Answered),
    (Write, 403, Json, r#"[{"message":"","errorCode":"FUNCTIONALITY_NOT_ENABLED"}]"#, Configuration, Answered),
    (Write, 403, Json, r#"[{"message":"insufficient access","errorCode":"INSUFFICIENT_ACCESS"}]"#, Configuration, Answered),
    (Write, 403, Json, r#"[{"message":"storage limit exceeded","errorCode":"STORAGE_LIMIT_EXCEEDED"}]"#, Configuration, Answered),
    (Write, 405, Json, r#"[{"message":"HTTP Method 'PATCH' not allowed. Allowed are HEAD,GET,POST","errorCode":"METHOD_NOT_ALLOWED"}]"#, Configuration, Answered),
    (Write, 410, Json, r#"[{"message":"API version 30.0 is retired","errorCode":"GONE"}]"#, Configuration, Answered),
    (Write, 415, Json, r#"[{"message":"unsupported","errorCode":"UNSUPPORTED_MEDIA_TYPE"}]"#, Configuration, Answered),
    (Write, 414, Json, r#"[{"message":"URI too long","errorCode":"URI_TOO_LONG"}]"#, Suspect, Answered),
    // Queries have no record that could be the cause.
    (Read, 400, Json, r#"[{"message":"\nselect count() from XYZZY\n                    ^\nERROR at Row:1:Column:21\nsObject type 'XYZZY' is not supported.","errorCode":"INVALID_TYPE"}]"#, Configuration, Answered),
    (Read, 400, Json, r#"[{"message":"\nERROR at Row:1:Column:23\nNo such column 'Foo__c' on entity 'Usage__c'.","errorCode":"INVALID_FIELD"}]"#, Configuration, Answered),
    (Read, 400, Json, r#"[{"message":"unexpected token: 'FORM'","errorCode":"MALFORMED_QUERY"}]"#, Configuration, Answered),
    (Read, 400, Json, r#"[{"message":"\nERROR at Row:1:Column:258\ninvalid ID field: somethingwonky","errorCode":"INVALID_QUERY_FILTER_OPERATOR"}]"#, Configuration, Answered),
    (Read, 500, Json, r#"[{"message":"Your query request was running for too long.","errorCode":"QUERY_TIMEOUT"}]"#, SHORT, Unknown),
    (Read, 400, Json, r#"[{"message":"invalid query locator","errorCode":"INVALID_QUERY_LOCATOR"}]"#, SHORT, Answered),
];

/// One result beside which the request was taken.
#[rustfmt::skip]
const RECORDS: &[(&str, Class)] = &[
    (r#"{"success":false,"errors":[{"statusCode":"UNABLE_TO_LOCK_ROW","message":"unable to obtain exclusive access to this record or 1 records: 800xx000000GxDAAA0","fields":[]}]}"#, Contention),
    (r#"{"success":false,"errors":[{"statusCode":"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY","message":"UsageTrigger: execution of AfterInsert caused by: System.DmlException: Update failed. First exception on row 0; first error: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access","fields":[]}]}"#, Contention),
    (r#"{"success":false,"errors":[{"statusCode":"DUPLICATE_VALUE","message":"duplicate value found: External_Id__c duplicates value on record with id: 001Vr00000m4eGCIAY","fields":[]}]}"#, Contention),
    (r#"{"success":false,"errors":[{"statusCode":"ALL_OR_NONE_OPERATION_ROLLED_BACK","message":"Record rolled back because not all records were valid and the request was using AllOrNone header","fields":[]}]}"#, Contention),
    (r#"{"success":false,"errors":[{"statusCode":"UNKNOWN_EXCEPTION","message":"ErrorId 1","fields":[]}]}"#, Suspect),
    (r#"{"success":false,"errors":[]}"#, Suspect),
    (r#"{"success":false}"#, Suspect),
    (r#"{"success":false,"errors":[{"statusCode":"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE","message":"read only","fields":[]}]}"#, SHORT),
    // The rule on the revision, named by field or in its text.
    (r#"{"success":false,"errors":[{"statusCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","message":"A newer revision is here already.","fields":["Revision__c"]}]}"#, Superseded),
    (r#"{"success":false,"errors":[{"statusCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","message":"revision__c must not go down","fields":[]}]}"#, Superseded),
    (r#"{"success":false,"errors":[{"statusCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","message":"Contract is fulfilled; usage is locked.","fields":["Quantity__c"]},{"statusCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","message":"older","fields":["Revision__c"]}]}"#, Superseded),
    (r#"{"success":false,"errors":[{"statusCode":"REQUIRED_FIELD_MISSING","message":"Required fields are missing: [Revision__c]","fields":["Revision__c"]}]}"#, Rejected),
    // The record's own trouble.
    (r#"{"success":false,"errors":[{"statusCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","message":"Contract is fulfilled; usage is locked.","fields":["Quantity__c"]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"ENTITY_IS_LOCKED","message":"This record is locked. If you need to edit it, contact your admin.","fields":[]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"INVALID_FIELD","message":"Foreign key external ID: CON-404 not found for field External_Id__c in entity Contract","fields":[]}]}"#, Suspect),
    (r#"{"id":null,"success":false,"created":true,"errors":[{"fields":["Quantity__c"],"message":"Required fields are missing: [Quantity__c]","statusCode":"REQUIRED_FIELD_MISSING"}]}"#, Rejected),
    (r#"{"id":"001RM000003oCprYAE","success":false,"errors":[{"statusCode":"MALFORMED_ID","message":"Contact ID: id value of incorrect type: 001xx000003DGb2999","fields":["Id"]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"STRING_TOO_LONG","message":"Account Name: data value too large: eajYG (max length=255)","fields":["Name"]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY","message":"insufficient access rights on cross-reference id: 0017h00000doU3R","fields":[]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"INVALID_CROSS_REFERENCE_KEY","message":"invalid cross reference id","fields":[]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"DUPLICATE_VALUE","message":"duplicate value found: <unknown> duplicates value on record with id: <unknown>","fields":[]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"DUPLICATE_VALUE","message":"duplicate value found: Booking_No__c duplicates value on record with id: a0N2w000001WQcq","fields":[]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"DUPLICATE_VALUE","message":"Duplicate external id specified: u-1","fields":["External_Id__c"]}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"DUPLICATES_DETECTED","message":"Use one of these records?","fields":[],"duplicateResult":{"allowSave":false}}]}"#, Rejected),
    (r#"{"success":false,"errors":[{"statusCode":"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY","message":"AccountTrigger: execution of AfterUpdate caused by: System.NullPointerException","fields":[]}]}"#, Suspect),
    (r#"{"success":false,"errors":[{"statusCode":"A_CODE_OF_NEXT_YEAR","message":"something new","fields":[]}]}"#, Rejected),
    // What no record of the kind will pass.
    (r#"{"success":false,"errors":[{"statusCode":"INVALID_FIELD","message":"No such column 'Foo__c' on sobject of type Usage__c","fields":[]}]}"#, Configuration),
    (r#"{"success":false,"errors":[{"statusCode":"INVALID_FIELD_FOR_INSERT_UPDATE","message":"Unable to create/update fields: Contract__c. Please check the security settings of this field and verify that it is read/write for your profile or permission set.","fields":["Contract__c"]}]}"#, Configuration),
    (r#"{"success":false,"errors":[{"statusCode":"INSUFFICIENT_ACCESS_OR_READONLY","message":"insufficient access rights on object id","fields":[]}]}"#, Configuration),
    (r#"{"success":false,"errors":[{"statusCode":"STORAGE_LIMIT_EXCEEDED","message":"storage limit exceeded","fields":[]}]}"#, Configuration),
];

/// Answers of the token endpoint, and a word of the remedy.
#[rustfmt::skip]
const LOGINS: &[(u16, Way, &str, Class, &str)] = &[
    (400, Json, r#"{"error":"invalid_grant","error_description":"expired authorization code"}"#, Configuration, "clock"),
    (400, Json, r#"{"error":"invalid_grant","error_description":"user hasn't approved this consumer"}"#, Configuration, "pre-authorized"),
    (400, Json, r#"{"error":"invalid_app_access","error_description":"user is not admin approved to access this app"}"#, Configuration, "pre-authorized"),
    (400, Json, r#"{"error":"invalid_grant","error_description":"invalid assertion"}"#, Configuration, "certificate"),
    (400, Json, r#"{"error":"invalid_grant","error_description":"audience is invalid"}"#, Configuration, "SALESFORCE_AUDIENCE"),
    (400, Json, r#"{"error_description":"client identifier invalid","error":"invalid_client_id"}"#, Configuration, "SALESFORCE_CLIENT_ID"),
    (400, Json, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#, Configuration, "SALESFORCE_CLIENT_SECRET"),
    (400, Json, r#"{"error":"invalid_grant","error_description":"no client credentials user enabled"}"#, Configuration, "Run As"),
    (400, Json, r#"{"error":"invalid_grant","error_description":"request not supported on this domain"}"#, Configuration, "My Domain"),
    (400, Json, r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#, Configuration, "SALESFORCE_REFRESH_TOKEN"),
    (400, Json, r#"{"error":"invalid_grant","error_description":"authentication failure"}"#, Configuration, "login history"),
    (400, Gzip, r#"{"error":"unsupported_grant_type","error_description":"grant type not supported"}"#, Configuration, "flow"),
    (400, Json, r#"{"error":"rate_limit_exceeded"}"#, SHORT, ""),
    (429, Html, "too many", SHORT, ""),
    (503, Html, HTML, SHORT, ""),
    (503, Json, r#"{"error":"server_error","error_description":"x"}"#, SHORT, ""),
    (400, Json, r#"{"error":"server_error","error_description":"x"}"#, SHORT, ""),
    (503, Json, r#"{"error":"no healthy upstream"}"#, SHORT, ""),
    (500, Html, "", SHORT, ""),
    (200, Html, HTML, SHORT, ""),
    (200, Json, r#"{"access_token":"t","instance_url":"https://x.example"}"#, SHORT, ""),
    (200, Cut, r#"{"access_token":"t","#, SHORT, ""),
];

fn reply(status: u16, way: Way, body: &str) -> Reply {
    const JSON: (&str, &str) = ("Content-Type", "application/json;charset=UTF-8");
    const GZIP: (&str, &str) = ("Content-Encoding", "gzip");
    let bytes = body.as_bytes();
    match way {
        Json => server::answer(status, &[JSON], bytes),
        Html => server::answer(status, &[("Content-Type", "text/html")], bytes),
        Gzip => server::answer(status, &[JSON, GZIP], &server::gzipped(bytes)),
        Cut => server::promised(status, &[JSON], bytes, bytes.len() + 7),
        CutGzip => {
            let compressed = server::gzipped(bytes);
            server::answer(status, &[JSON, GZIP], &compressed[..compressed.len() / 2])
        }
        CutChunk => Reply::Bytes(
            format!(
                "HTTP/1.1 {status} OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
                body.len()
            )
            .into_bytes(),
        ),
    }
}

/// A server whose next answers are set from outside.
async fn scripted() -> (Server, Arc<Mutex<Reply>>) {
    let next = Arc::new(Mutex::new(Reply::HangUp));
    let script = Arc::clone(&next);
    (
        Server::start(move |_| script.lock().unwrap().clone()).await,
        next,
    )
}

async fn ask(client: &Client, call: Call) -> Result<Vec<Result<Saved, RecordError>>, Error> {
    match call {
        Write => client.create(&[record("7:small", &raw("{}"))]).await,
        Read => client
            .query::<serde_json::Value>("SELECT Id FROM Usage__c")
            .await
            .map(|_| Vec::new()),
    }
}

#[tokio::test]
async fn every_refusal_of_a_request_has_its_class_and_certainty() {
    let (server, next) = scripted().await;
    let client = client(&server);

    for (call, status, way, body, class, certainty) in REQUESTS {
        *next.lock().unwrap() = reply(*status, *way, body);

        let error = ask(&client, *call).await.unwrap_err();

        let case = format!("{call:?} {status} {way:?} {body}: {error:?}");
        assert_eq!(error.class(), *class, "{case}");
        assert_eq!(error.certainty(), *certainty, "{case}");
    }
}

#[tokio::test]
async fn every_refusal_of_a_record_has_its_class() {
    let (server, next) = scripted().await;
    let client = client(&server);

    for (body, class) in RECORDS {
        *next.lock().unwrap() = reply(200, Json, &format!("[{body}]"));

        let results = ask(&client, Write).await.unwrap();

        let [Err(error)] = &results[..] else {
            panic!("{body}: {results:?}")
        };
        assert_eq!(error.class(), *class, "{body}");
        assert!(
            *class != Configuration || error.remedy().is_some(),
            "{body}"
        );
    }
}

#[tokio::test]
async fn every_refusal_of_a_login_has_its_class_and_remedy() {
    let next = Arc::new(Mutex::new(Reply::HangUp));
    let script = Arc::clone(&next);
    let server = Server::bare(move |_, _| script.lock().unwrap().clone()).await;
    let client = Client::new(&settings(&server.url())).unwrap();

    for (status, way, body, class, remedy) in LOGINS {
        *next.lock().unwrap() = reply(*status, *way, body);

        let error = ask(&client, Write).await.unwrap_err();

        let case = format!("{status} {way:?} {body}: {error:?}");
        assert_eq!(error.class(), *class, "{case}");
        assert_eq!(error.certainty(), NotSent, "{case}");
        assert_eq!(error.remedy().is_some(), !remedy.is_empty(), "{case}");
        assert!(
            error.remedy().unwrap_or_default().contains(remedy),
            "{case}"
        );
    }
    assert!(
        server
            .received()
            .iter()
            .all(|request| request.target == TOKEN)
    );
}

#[tokio::test]
async fn the_words_of_salesforce_are_kept_up_to_a_length() {
    let (server, next) = scripted().await;
    let client = client(&server);
    // Cut in the middle of a character of two bytes.
    let long = format!("\nx{}", "ä".repeat(400));
    *next.lock().unwrap() = reply(
        403,
        Json,
        &format!(r#"[{{"message":{long:?},"errorCode":"API_DISABLED_FOR_ORG"}}]"#),
    );

    let error = ask(&client, Write).await.unwrap_err();

    let Error::Refused(refusal) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.message, format!("x{}", "ä".repeat(255)));
    assert_eq!(error.code(), Some("API_DISABLED_FOR_ORG"));
    assert_eq!(
        error.to_string(),
        format!("HTTP 403 API_DISABLED_FOR_ORG: {}", refusal.message)
    );
    assert!(error.remedy().unwrap().contains("API Enabled"));
}
