-- The indexes that the write-ups choose by hand, for a comparison: scripts/demo --hand builds these
-- instead of dbopt's own suggestions. One of them is refused by PostgreSQL (now() is not immutable);
-- it stands here as the authors wrote it.
-- learning platform
CREATE INDEX idx_users_email_active ON learning.users (email) WHERE is_active = true;
CREATE INDEX idx_users_organization_role ON learning.users (organization_id, role) WHERE is_active = true;
CREATE INDEX idx_user_sessions_token_expires ON learning.user_sessions (token, expires_at) WHERE expires_at > now();
CREATE INDEX idx_courses_status_published ON learning.courses (status) WHERE status = 'PUBLISHED';
CREATE INDEX idx_courses_category_difficulty ON learning.courses (category, difficulty) WHERE status = 'PUBLISHED';
CREATE INDEX idx_courses_fulltext ON learning.courses USING gin (to_tsvector('english', title || ' ' || description));
CREATE INDEX idx_courses_tags_gin ON learning.courses USING gin (tags) WHERE status = 'PUBLISHED';
CREATE INDEX idx_analytics_events_user_timestamp ON learning.analytics_events (user_id, timestamp DESC);
CREATE INDEX idx_analytics_events_event_type_timestamp ON learning.analytics_events (event_type, timestamp DESC);
CREATE INDEX idx_analytics_events_data_gin ON learning.analytics_events USING gin (data);
CREATE INDEX idx_progress_user_lesson_unique ON learning.progress (user_id, lesson_id);
CREATE INDEX idx_enrollments_user_course_unique ON learning.enrollments (user_id, course_id);
CREATE INDEX idx_enrollments_user_status_active ON learning.enrollments (user_id, status) WHERE status = 'ACTIVE';
-- social media platform
CREATE INDEX idx_posts_dashboard ON social.posts (workspace_id, published_at, campaign_id);
CREATE INDEX idx_posts_scheduled ON social.posts (status, scheduled_at);
CREATE INDEX idx_posts_campaign ON social.posts (campaign_id, published_at, status);
CREATE INDEX idx_posts_tags ON social.posts USING gin (tags);
CREATE INDEX idx_posts_fulltext ON social.posts USING gin (to_tsvector('english', content));
CREATE INDEX idx_conversations_inbox ON social.conversations (workspace_id, status, priority, sentiment, updated_at);
CREATE INDEX idx_conversations_sla ON social.conversations (workspace_id, status, sla_deadline);
CREATE INDEX idx_messages_conversation ON social.messages (conversation_id);
CREATE INDEX idx_audit_workspace ON social.security_audit_logs (workspace_id, created_at);
CREATE INDEX idx_mentions_workspace ON social.listening_mentions (workspace_id, mentioned_at);
-- publishing tool
CREATE INDEX idx_social_accounts_business_platform_active ON publishing.social_accounts (business_id, platform, is_active);
CREATE INDEX idx_published_posts_business_published_desc ON publishing.published_posts (business_id, published_at DESC);
CREATE INDEX idx_published_posts_platform_published ON publishing.published_posts (platform, published_at DESC);
CREATE INDEX idx_social_accounts_platform_user ON publishing.social_accounts (platform, platform_user_id);
-- campaign tool
CREATE INDEX "Organization_clerkOrganizationId_idx" ON campaign."Organization" ("clerkOrganizationId");
CREATE INDEX "Campaign_status_nextScheduled_idx" ON campaign."Campaign" ("status", "nextScheduled");
CREATE INDEX "ContentApproval_assignedTo_status_idx" ON campaign."ContentApproval" ("assignedTo", "status");
CREATE INDEX "Analytics_campaignId_createdAt_idx" ON campaign."Analytics" ("campaignId", "createdAt");
CREATE INDEX "UserActivity_userId_createdAt_idx" ON campaign."UserActivity" ("userId", "createdAt");
-- event-sourced platform
CREATE INDEX idx_organizations_name_trgm ON platform.organizations USING gin (name gin_trgm_ops);
CREATE INDEX idx_organizations_domain ON platform.organizations (domain) WHERE deleted_at IS NULL;
CREATE INDEX idx_organizations_status_created ON platform.organizations (status, created_at);
CREATE INDEX idx_users_email_lower ON platform.users (lower(email));
CREATE INDEX idx_users_name_search ON platform.users (lower(first_name || ' ' || last_name));
CREATE INDEX idx_users_status_role ON platform.users (organization_id, status, role);
CREATE INDEX idx_users_login_activity ON platform.users (last_login_at);
CREATE INDEX idx_events_aggregate_timeline ON platform.events (aggregate_id, version);
CREATE INDEX idx_events_type_timeline ON platform.events (event_type, created_at);
CREATE INDEX idx_events_org_timeline ON platform.events (organization_id, created_at);
CREATE INDEX idx_events_correlation ON platform.events (correlation_id);
CREATE INDEX idx_events_unprocessed ON platform.events (created_at) WHERE processed_at IS NULL;
CREATE INDEX idx_api_keys_user_status ON platform.api_keys (user_id, status);
CREATE INDEX idx_api_keys_expires ON platform.api_keys (expires_at);
CREATE INDEX idx_api_keys_usage ON platform.api_keys (last_used_at, use_count);
